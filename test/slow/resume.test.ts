/** Runs killed again and again at random moments end bit for bit as if nothing had been. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { strategies } from '../../src/prune/strategies/registry';
import { objectives } from '../../src/train/objectives/registry';
import { buildCli, type Cli } from '../cli/child';
import { inTemporaryFolder } from '../recipe/temporary';
import { resultOf, sparsityFor } from '../recipe/tiny-run';

let cli: Cli;
beforeAll(async () => {
  cli = await buildCli();
});
afterAll(() => cli.close());

const CONFIG = {
  network: { name: 'cnn-small' },
  pretrain: { epochs: 4, batch: 64 },
  finetune: { epochs: 2, batch: 64 },
  evaluate: { attack: { name: 'pgd', steps: 5 } },
};

describe.each(Object.keys(objectives))('%s', (objective) => {
  it.each(Object.keys(strategies))('with %s, killed at random', async (strategy) => {
    await inTemporaryFolder(async (file, write) => {
      await write(
        'c.json',
        JSON.stringify({
          ...CONFIG,
          objective,
          prune: { strategy, sparsity: sparsityFor(strategy), rounds: 2 },
        }),
      );
      const argv = (dir: string, threads: number) => [
        ...['compress', file('c.json'), '--out', file(dir), '--threads', `${threads}`],
      ];
      const started = performance.now();
      const whole = await cli.run(argv('whole', 2));
      const took = performance.now() - started;
      expect(whole.code, whole.stderr).toBe(0);
      let kills = 0;
      for (let done = false; !done; ) {
        // At one thread and two in turn: it must make no difference.
        const child = cli.start(argv('parts', 1 + (kills % 2)));
        const wait = 200 + Math.random() * took * 0.5;
        const timer = setTimeout(
          () => child.process.kill(kills % 3 === 2 ? 'SIGINT' : 'SIGKILL'),
          wait,
        );
        const { code, stderr } = await child.finished;
        clearTimeout(timer);
        done = code === 0;
        if (!done) expect([null, 130], stderr).toContain(code);
        if (!done && ++kills > 12) {
          const last = await cli.run(argv('parts', 1));
          expect(last.code, last.stderr).toBe(0);
          done = true;
        }
      }
      expect(await resultOf(file('parts'))).toEqual(await resultOf(file('whole')));
    });
  });
});
