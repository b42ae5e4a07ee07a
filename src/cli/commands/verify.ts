/** `espalier verify MODEL SPEC`: is any output unsafe? VNN-COMP's answers and counter-examples. */

import { fail } from '../../errors';
import type { FileVerdict } from '../../evaluate/verify';
import { formatResult } from '../../io/vnnlib';
import { real, whole } from '../../options';
import { short } from '../../report/format';
import { engineArgs, foreignArgs, modelArg, shared } from '../args';
import { type Command, EXIT } from '../command';
import { print, printJson, tell } from '../io';
import { freeOutput, readOptions, withEngine } from '../job';

export const command: Command = {
  args: {
    ...modelArg,
    spec: { type: 'positional', required: true, description: 'a property: VNN-LIB' },
    timeout: {
      type: 'string',
      valueHint: 'seconds',
      default: '60',
      description: 'ends the search; 0 for none',
    },
    nodes: {
      type: 'string',
      valueHint: 'n',
      description: 'ends it too: parts of the input region to bound (default: no limit)',
    },
    out: {
      type: 'string',
      alias: 'o',
      valueHint: 'file',
      description: 'where to write the answer, in the format of VNN-COMP',
    },
    force: { type: 'boolean', description: 'replace that file if it exists' },
    with: {
      type: 'string',
      valueHint: 'name=file',
      description:
        'of a property over several networks: the file of another than the first; repeatable',
    },
    ...foreignArgs,
    ...shared,
    ...engineArgs,
  },
  examples: [
    ['espalier verify net.onnx prop.vnnlib --timeout 60', 'sat, unsat, unknown or timeout'],
    ['espalier verify f.onnx both.vnnlib --with g=g.onnx', 'a property over two networks'],
    ['espalier verify net.onnx prop.vnnlib --json', 'with the bound reached and what was spent'],
  ],
  async run(context) {
    const { io, values, backend } = context;
    const seconds = values.number('timeout', real(0));
    const nodes = values.number('nodes', whole(1));
    const seed = values.seed();
    const out = values.text('out');
    const [model, spec] = [values.text('model')!, values.text('spec')!];
    const file = out !== undefined && (await freeOutput(out, values, [model, spec]));
    const as = readOptions(values);
    const others = Object.fromEntries(values.all('with').map(named));
    const verdict = await withEngine(context, (job) =>
      backend.verify(job.engine, {
        ...job,
        model,
        spec,
        as,
        ...(Object.keys(others).length > 0 && { others }),
        ...(seconds ? { seconds } : {}),
        ...(nodes !== undefined && { nodes }),
        ...(seed !== undefined && { seed }),
      }),
    );
    const result = formatResult(verdict.answer, verdict.counterexample, verdict.networks);
    const { networks, ...told } = verdict;
    if (values.on('json')) printJson(io, { model, spec, ...finite(told) });
    else {
      print(io, result.trimEnd());
      tell(io, summaryOf(verdict));
    }
    // Last: the answer is told even where the disk is full.
    if (file) {
      const { writeAtomic, writeNew } = await import('../../io/files');
      await (file.replace ? writeAtomic : writeNew)(file.out, result);
    }
    return verdict.answer === 'unsat' ? EXIT.done : EXIT.badNews;
  },
};

/** The name and the file of `name=file`. */
function named(text: string): [string, string] {
  const at = text.indexOf('=');
  if (at <= 0 || at === text.length - 1) fail('--with', 'name=file, such as g=other.onnx', text);
  return [text.slice(0, at), text.slice(at + 1)];
}

/** JSON has no infinities: a bound that is none is null. */
function finite(verdict: FileVerdict): Omit<FileVerdict, 'bound'> & { bound: number | null } {
  return { ...verdict, bound: Number.isFinite(verdict.bound) ? verdict.bound : null };
}

function summaryOf({ answer, reason, bound, by, seconds, nodes }: FileVerdict): string {
  const spent = `${seconds.toFixed(2)} s, ${nodes} boxes`;
  const proven = `proven distance from unsafe ${short(bound)}`;
  if (answer === 'sat') return `violated, by ${by}; ${spent}`;
  if (answer === 'unsat') return `holds, by ${by}; ${proven}; ${spent}`;
  return `no answer: ${reason}; last ${by}; ${proven}; ${spent}`;
}
