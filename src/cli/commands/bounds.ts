/** `espalier bounds MODEL`: what a method proves of single inputs. */

import type { ImageBounds } from '../../evaluate/bounds';
import { eps } from '../../options';
import { short } from '../../report/format';
import { columnsOf, renderTable } from '../../report/table';
import { dataArgs, engineArgs, epsArg, foreignArgs, indexArg, modelArg, shared } from '../args';
import { type Command, EXIT } from '../command';
import { parseIndices } from '../indices';
import { print, printJson } from '../io';
import { modelConfig, readOptions, withEngine } from '../job';
import { verifierSection } from '../registries';

export const command: Command = {
  args: {
    ...modelArg,
    ...foreignArgs,
    ...dataArgs,
    ...indexArg,
    ...epsArg,
    method: { type: 'string', valueHint: 'name', default: 'interval', description: 'how to bound' },
    ...shared,
    ...engineArgs,
  },
  examples: [
    ['espalier bounds m.safetensors --index 0,1,2 --eps 0.1', 'three test images'],
    ['espalier bounds m.safetensors --data mnist --eps 2/255 --json', 'all numbers as JSON'],
    ['espalier bounds net.onnx --data mnist --eps 2/255', 'a network of another tool'],
  ],
  sections: async () => [{ ...(await verifierSection()), title: 'METHODS' }],
  async run(context) {
    const { io, values, backend } = context;
    const { evaluationEps, parseSlot } = await import('../../recipe/config');
    const method = parseSlot('evaluate.verifier', values.text('method'), '--method');
    const indices = parseIndices(values.text('index') ?? '0');
    const given = values.checked('eps', eps());
    const config = await modelConfig(context, []);
    const radius = given ?? evaluationEps(config);
    const model = values.text('model')!;
    const as = readOptions(values);
    const images = await withEngine(context, (job) =>
      backend.bounds(job.engine, {
        ...job,
        model,
        as,
        data: config.data,
        indices,
        eps: radius,
        method,
      }),
    );
    if (values.on('json')) printJson(io, { model, eps: radius, method: method.name, images });
    else print(io, images.map((image) => imageText(image, radius)).join('\n\n'));
    return EXIT.done;
  },
};

function imageText(image: ImageBounds, radius: number): string {
  const { index, label, predicted, certified } = image;
  const verdict = certified ? 'certified' : predicted === label ? 'not certified' : 'misclassified';
  const titles = ['class', 'logit', 'lower', 'upper', 'margin >='];
  const rows = image.logits.map((logit, k) => {
    const margin = image.margins[k];
    const numbers = [logit, image.lo[k]!, image.hi[k]!].map(short);
    return [String(k), ...numbers, typeof margin === 'number' ? short(margin) : '(label)'];
  });
  const columns = columnsOf(titles, 'r');
  return `image ${index}: label ${label}, predicted ${predicted}, eps ${radius}: ${verdict}\n${renderTable({ columns, rows })}`;
}
