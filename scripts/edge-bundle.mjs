/**
 * What the bundle of `espalier/runtime` leaves out: ways to compute with dense weights and to train,
 * which a compact model never takes (src/edge/layers.ts), though its layers can.
 */

/** Source -> what stands for it. */
const ABSENT = {
  'src/tensor/supports.ts':
    'const none = () => undefined; export { none as supportFor, none as setSupport, none as dropSupport };',
  'src/tensor/supported.ts':
    'export const supportedProduct = 0, supportedRadius = 0, supportedTranspose = 0;',
  'src/domain/forms.ts': 'export const forms = {};',
};

/** A plugin of esbuild. */
export const withoutDense = {
  name: 'without-dense',
  setup({ onLoad }) {
    onLoad({ filter: /[\\/](supports|supported|forms)\.ts$/ }, ({ path }) => {
      const file = Object.keys(ABSENT).find((one) => path.replaceAll('\\', '/').endsWith(one));
      return file && { contents: ABSENT[file] };
    });
  },
};
