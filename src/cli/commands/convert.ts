/** `espalier convert IN OUT`: a model in another format, chosen by the name of the output. */
import { bytes, count } from '../../report/format';
import { foreignArgs, outFile, shared } from '../args';
import { type Command, EXIT, registrySection } from '../command';
import { print, printJson } from '../io';
import { freeOutput, readOptions, withEngine } from '../job';

export const command: Command = {
  args: {
    in: {
      type: 'positional',
      required: true,
      description: 'a model: safetensors, compact, ONNX, PyTorch or npz',
    },
    out: {
      type: 'positional',
      required: true,
      description: 'the file to write: .safetensors, .compact, .onnx or .npz',
    },
    ...foreignArgs,
    force: outFile.force,
    ...shared,
  },
  examples: [
    ['espalier convert net.onnx net.safetensors', 'for every command here'],
    ['espalier convert pruned.safetensors pruned.onnx', 'for other runtimes'],
    ['espalier convert w.pth net.onnx --network cnn-small --input 1,28,28', 'a PyTorch state dict'],
    [
      'espalier convert net.onnx in01.onnx --mean 0.1307 --std 0.3081',
      'inputs in [0, 1] from now on',
    ],
  ],
  async sections() {
    const { writers } = await import('../../recipe/convert');
    const { zoo } = await import('../../nn/zoo');
    const outputs = Object.entries(writers).map(([name, writer]) => [`.${name}`, writer] as const);
    return [
      registrySection('OUTPUT', Object.fromEntries(outputs)),
      registrySection('NETWORKS (--network)', zoo),
    ];
  },
  async run(context) {
    const { io, values, backend } = context;
    const { writerFor } = await import('../../recipe/convert');
    const from = values.text('in')!;
    const to = values.text('out')!;
    const as = readOptions(values);
    writerFor(to);
    const file = await freeOutput(to, values, [from]);
    const done = await withEngine(context, (job) => backend.convert(job.engine, from, file, as));
    if (values.on('json')) printJson(io, { in: from, out: to, ...done });
    else {
      const { network, parameters } = done.inspection;
      for (const note of done.notes) print(io, note);
      print(io, `${from} (${done.from}) -> ${to} (${done.to})`);
      print(io, `${network}, ${count(parameters)} parameters, ${bytes(done.bytes)}`);
    }
    return EXIT.done;
  },
};
