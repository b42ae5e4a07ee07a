/**
 * Runs spans in this process and in others of the same machine, which it starts: each is the given command
 * line with `--shard i/n` behind it, and works in the same folder. What one of them does not do, this one
 * does in the end. They end with this process, however that ends: their journals hold what they did.
 */
import * as v from 'valibot';
import { whole } from '../../options';
import { runner } from '../runner';
import { local } from './local';
import { shard } from './shard';

export const processes = runner({
  name: 'processes',
  about: 'in `jobs` processes, the others started by `command` with variables `env`',
  options: v.strictObject({
    jobs: v.optional(whole(1, 256), 1),
    command: v.optional(v.array(v.string()), []),
    env: v.optional(v.record(v.string(), v.string()), {}),
  }),
  async run(work, { jobs, command, env }) {
    const ended = new AbortController();
    const count = command.length > 0 ? jobs : 1;
    try {
      const others = Array.from({ length: count - 1 }, (_, i) =>
        start([...command, '--shard', `${i + 1}/${count}`], env, ended.signal),
      );
      await shard.run(work, { index: 0, count });
      await Promise.all(others);
      await local.run(work, {});
    } finally {
      ended.abort();
    }
  },
});

/** Starts a process; resolves when it has ended, however it did. */
async function start(
  [program, ...args]: readonly string[],
  env: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<void> {
  const { spawn } = await import('node:child_process');
  await new Promise<void>((resolve) => {
    const child = spawn(program!, args, {
      env: { ...process.env, ...env },
      // Its end tells the other process that this one is gone.
      stdio: ['pipe', 'ignore', 'ignore'],
      signal,
      killSignal: 'SIGKILL',
    });
    child.once('error', () => resolve());
    child.once('close', () => resolve());
  });
}
