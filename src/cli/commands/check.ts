/** `espalier check CERT MODEL`: an independent check of certificates. */
import { eps, whole } from '../../options';
import { count, short } from '../../report/format';
import { foreignArgs, modelArg, shared } from '../args';
import { type Command, EXIT } from '../command';
import { print, printJson } from '../io';
import { readOptions, withEngine } from '../job';

export const command: Command = {
  args: {
    certificate: {
      type: 'positional',
      required: true,
      description: 'a certificate, or a folder of them',
    },
    ...modelArg,
    ...foreignArgs,
    eps: {
      type: 'string',
      valueHint: 'radius',
      description: 'rejects certificates of a smaller radius, such as 2/255 (default: any will do)',
    },
    work: {
      type: 'string',
      valueHint: 'n',
      description: 'most multiply-adds for one (default: 2^37, about ten minutes)',
    },
    ...shared,
  },
  examples: [
    ['espalier check certificates/0.json m.safetensors', 'exit code 0: accepted, 1: rejected'],
    ['espalier check certificates m.safetensors --json', 'all of a folder'],
  ],
  async run(context) {
    const { io, values, backend } = context;
    const [path, model] = [values.text('certificate')!, values.text('model')!];
    const as = readOptions(values);
    const limit = values.number('work', whole(1));
    const radius = values.checked('eps', eps());
    const files = await withEngine(context, (job) =>
      backend.check(job.engine, {
        ...{ ...job, model, as, path },
        ...(limit !== undefined && { limit }),
        ...(radius !== undefined && { eps: radius }),
      }),
    );
    const rejected = files.filter(({ accepted }) => !accepted).length;
    if (values.on('json'))
      printJson(io, { model, accepted: files.length - rejected, rejected, files });
    else {
      for (const { file, accepted, text, margin } of files)
        print(
          io,
          accepted
            ? `accepted  ${file}: ${text}; margin >= ${short(margin!)}`
            : `REJECTED  ${text.startsWith(file) ? text : `${file}: ${text}`}`,
        );
      if (files.length > 1)
        print(io, `${count(files.length - rejected)} accepted, ${count(rejected)} rejected`);
    }
    return rejected > 0 ? EXIT.badNews : EXIT.done;
  },
};
