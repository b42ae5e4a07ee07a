/**
 * What a data set is, for everything that reads one: bytes, labels and where they come from.
 */

/** Images and labels of one split. */
export interface Split {
  /** [count, C, H, W] bytes, row-major. */
  readonly images: Uint8Array;
  /** [count] class indices. */
  readonly labels: Uint8Array;
  readonly count: number;
}

/** Channels first, or last. */
export type Layout = 'chw' | 'hwc';

export interface DataSet {
  /** Key in the registry, or the user's name. */
  readonly name: string;
  /** Name for tables and reports; says so when the pixels are not the published ones. */
  readonly title: string;
  /** [C, H, W]. */
  readonly shape: readonly [number, number, number];
  /** The order of an image's values in a batch; by default `chw`, as they are stored. */
  readonly layout?: Layout;
  readonly classes: readonly string[];
  /** The pixel value that means 1.0: 255, or 16 for the digits. */
  readonly unit: number;
  readonly train: Split;
  readonly test: Split;
  /** Provenance in words. */
  readonly source: string;
  /** SHA-256 (hex) of all bytes read, in reading order and uncompressed. */
  readonly sha256: string;
}

export interface DataOptions {
  /** File or folder that holds the data, where the source needs or allows one. */
  readonly path?: string;
}

/** An entry of the registry. */
export interface DataSource {
  readonly title: string;
  /** One line, including how to get the data. */
  readonly about: string;
  /** Reads the data. Raises EspalierError naming the file and what is wrong with it. */
  load(options: DataOptions): Promise<DataSet>;
}
