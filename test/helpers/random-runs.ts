/** Batches that plans treat apart (one image, a block not filled, filled, more), and shares of zeros. */
export const BATCHES = [1, 7, 8, 16, 17] as const;
export const SPARSITIES = [0, 0.9, 0.99] as const;
