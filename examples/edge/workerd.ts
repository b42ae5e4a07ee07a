/** Cloudflare Workers (workerd): the kernels and the model are modules of the worker. */
// #region program
import wasm from '../../build/runtime.wasm';
import { EspalierError, openModel } from '../../src/edge/index';
import bytes from './digits.compact';

const opened = openModel(bytes, { module: wasm });

export default {
  async fetch(request: Request): Promise<Response> {
    const model = await opened;
    const { image, eps } = (await request.json()) as { image: number[]; eps: number };
    try {
      return Response.json({ ...model.certify(image, eps), radius: model.radius(image) });
    } catch (error) {
      if (!(error instanceof EspalierError)) throw error;
      return Response.json({ error: error.message }, { status: 400 });
    }
  },
};
// #endregion
