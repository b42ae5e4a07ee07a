/** `espalier certify MODEL`: certificates of single inputs, as files for `espalier check`. */
import { EspalierError } from '../../errors';
import type { ProofName } from '../../evaluate/certificates';
import { eps } from '../../options';
import { count, short } from '../../report/format';
import { columnsOf, renderTable } from '../../report/table';
import { dataArgs, engineArgs, epsArg, foreignArgs, indexArg, modelArg, shared } from '../args';
import { type Command, EXIT, registrySection } from '../command';
import { parseIndices } from '../indices';
import { print, printJson } from '../io';
import { modelConfig, readOptions, withEngine } from '../job';

export const command: Command = {
  args: {
    ...modelArg,
    ...foreignArgs,
    ...dataArgs,
    ...indexArg,
    ...epsArg,
    method: {
      type: 'string',
      valueHint: 'name,...',
      default: 'interval',
      description: 'how to prove, tried in this order',
    },
    out: {
      type: 'string',
      alias: 'o',
      valueHint: 'folder',
      default: 'certificates',
      description: 'where the files go, <index>.json; those of the same claims stay',
    },
    force: { type: 'boolean', description: 'replace files of such names that are something else' },
    ...shared,
    ...engineArgs,
  },
  examples: [
    ['espalier certify m.safetensors --index 0-99 --eps 0.1', 'a hundred test images'],
    [
      'espalier certify net.onnx --data mnist --eps 2/255 --method interval,crown -o proofs',
      'a network of another tool, by tighter bounds where intervals prove nothing',
    ],
    ['espalier check certificates m.safetensors', 'checks them all'],
  ],
  sections: async () => [
    registrySection('METHODS', (await import('../../evaluate/certificates')).proofs),
  ],
  async run(context) {
    const { io, values, backend } = context;
    const { evaluationEps } = await import('../../recipe/config');
    const indices = parseIndices(values.text('index')!);
    const methods = await parseMethods(values.text('method')!);
    const given = values.checked('eps', eps());
    const config = await modelConfig(context, []);
    const radius = given ?? evaluationEps(config);
    const [model, folder] = [values.text('model')!, values.text('out')!];
    const as = readOptions(values);
    const { data } = config;
    const images = await withEngine(context, (job) =>
      backend.certify(job.engine, {
        ...job,
        model,
        as,
        data,
        indices,
        eps: radius,
        methods,
        folder,
        force: values.on('force'),
      }),
    );
    const written = images.filter(({ file }) => file !== null).length;
    if (values.on('json')) printJson(io, { model, eps: radius, written, images });
    else {
      const columns = columnsOf(['image', 'label', 'margin >=', 'by', 'certificate'], 'rrrl');
      const rows = images.map(({ index, label, margin, method, file }) => [
        String(index),
        String(label),
        Number.isFinite(margin) ? short(margin) : '',
        method ?? 'not proven',
        file ?? '',
      ]);
      print(io, renderTable({ columns, rows }));
      print(io, `${count(written)} of ${count(images.length)} certified within ${radius}`);
    }
    return written === images.length ? EXIT.done : EXIT.badNews;
  },
};

async function parseMethods(text: string): Promise<ProofName[]> {
  const { proofs } = await import('../../evaluate/certificates');
  const names = text.split(',').map((name) => name.trim());
  const wrong = names.find((name) => !Object.hasOwn(proofs, name));
  if (wrong !== undefined)
    throw new EspalierError(
      `--method: expected some of ${Object.keys(proofs).join(', ')}, got "${wrong}".`,
    );
  return names as ProofName[];
}
