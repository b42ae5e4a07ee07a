/** A compact model in a page: fetched once, asked whenever a drawing changes. */
// #region program
import { openModel } from '../../src/edge/index';

const model = await openModel('digits.compact');
addEventListener('message', ({ data }) => {
  const { label } = model.predict(data);
  postMessage({ label, radius: model.radius(data) });
});
// #endregion
