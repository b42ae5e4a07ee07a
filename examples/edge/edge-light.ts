/** Vercel edge functions (edge-light): a compiled module, and the model as a file of the site. */
// #region program
import wasm from '../../build/runtime.wasm?module';
import { type CompactModel, openModel } from '../../src/edge/index';

export const config = { runtime: 'edge' };
let opened: Promise<CompactModel> | undefined;

export default async function handler(request: Request): Promise<Response> {
  opened ??= openModel(new URL('/digits.compact', request.url), { module: wasm });
  const model = await opened;
  const images = (await request.json()) as number[][];
  return Response.json(model.predictBatch(images).map(({ label }) => label));
}
// #endregion
