/** The costs of this machine, over the whole grid, as the command fits and writes them. */
import { expect, it } from 'vitest';
import { backend } from '../../src/cli/wiring';
import { readCosts } from '../../src/measure/costs';
import { run } from '../cli/fake';
import { inTemporaryFolder } from '../recipe/temporary';

it('bench --fit writes a table that plans take', () =>
  inTemporaryFolder(async (file) => {
    const out = file('costs.json');
    const line = ['bench', '--fit', '--threads', '1', '--seconds', '1', '--out', out, '--json'];
    const { code, stdout } = await run(line, backend);
    expect(code).toBe(0);
    const { costs, forms } = JSON.parse(stdout);
    expect(await readCosts(out)).toEqual(costs);
    for (const { form, samples, fitted, shipped } of forms) {
      expect(samples, form).toBeGreaterThanOrEqual(8);
      // Least squares: no more in all than factors of 0 leave, and than the shipped ones.
      expect(fitted.median, form).toBeLessThan(Math.SQRT2 * Math.min(1, shipped.worst));
    }
  }));
