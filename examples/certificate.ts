/** Writes certificates of test images and has them judged. Run quickstart.ts first. */
// #region program
import { certify, checkFiles, datasets, load, loadModel } from '../src/index';

const engine = await load({ threads: 1 });
const model = await loadModel(engine, 'runs/quickstart/pruned.safetensors');
const digits = await datasets.digits.load({});
const images = await certify(model, digits, {
  indices: [0, 1, 2, 3, 4, 5, 6, 7],
  eps: 0.02,
  methods: ['interval', 'crown'],
  folder: 'certificates',
});
const written = images.filter(({ file }) => file !== null).length;
const files = await checkFiles(model, { path: 'certificates' });
console.log(`${written} written, ${files.filter(({ accepted }) => accepted).length} accepted`);
engine.close();
// #endregion
