/** The kernels, one family a file. The table of their arguments is src/runtime/kernels.ts. */
export * from './binary';
export * from './conv';
export * from './conv_weight_grad';
export * from './gemm';
export * from './gemv';
export * from './linear';
export * from './lines';
export * from './optim';
export * from './pool';
export * from './prune';
export * from './random';
export * from './reduce';
export * from './rows';
export * from './softmax';
export * from './strided';
export * from './unary';
export * from './winograd';
