/** AWS Lambda, bundled by `esbuild --bundle --platform=node --loader:.compact=binary`. */
// #region program
import { openModel } from '../../src/edge/index';
import bytes from './digits.compact';

const opened = openModel(bytes);

export async function handler({ body }: { body: string }) {
  const { image, eps } = JSON.parse(body);
  const { label, certified } = (await opened).certify(image, eps);
  return { statusCode: 200, body: JSON.stringify({ label, certified }) };
}
// #endregion
