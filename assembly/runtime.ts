/**
 * The kernels of `espalier/runtime`: what decoding, plans over non-zeros and interval bounds of a
 * compact model call (src/edge). Its binary is a third of the others.
 */
export { add, div, maximum, minimum, mul, sub } from './binary';
export * from './compact';
export { pack_b } from './gemm';
export * from './linear';
export { pool_lanes } from './planes';
export { avg_pool, avg_pool_grad, max_pool } from './pool';
export { sum } from './reduce';
export { gemm } from './small_gemm';
export { sparse_pair, sparse_product, sparse_vector } from './sparse';
export { sparse_rows } from './sparse_rows';
export { add_rows, copy_strided, take_rows } from './strided';
export {
  abs, affine, clamp, leaky_relu, normal_cdf, reciprocal, relu, sigmoid, sqrt, square, tanh,
} from './unary';
