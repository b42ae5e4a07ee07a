/** Files that bundlers and hosts import as they are. */
declare module '*.wasm' {
  const module: WebAssembly.Module;
  export default module;
}
declare module '*.wasm?module' {
  const module: WebAssembly.Module;
  export default module;
}
declare module '*.compact' {
  const bytes: ArrayBuffer | Uint8Array;
  export default bytes;
}
