/** The part of fflate that readers of compact models take, so that no bundle has the rest. */
export { inflateSync } from 'fflate';
