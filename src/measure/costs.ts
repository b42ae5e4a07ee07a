/** Fitted costs of plans (measure/fit.ts) as files. */
import * as v from 'valibot';
import { readJson } from '../io/files';
import { parseOptions, real } from '../options';
import { type Costs, SHIPPED } from '../runtime/costs';

const SCHEMA = 'espalier-costs/1';

const factorsOf = (keys: object) =>
  v.pipe(
    v.strictObject(Object.fromEntries(Object.keys(keys).map((key) => [key, real(0)]))),
    v.check((given) => Object.values(given).some((f) => f > 0), 'a factor above 0'),
  );

const factors = Object.fromEntries(
  Object.entries(SHIPPED).map(([form, keys]) => [form, factorsOf(keys)]),
);

const file = v.strictObject({
  schema: v.literal(SCHEMA, `"${SCHEMA}"`),
  costs: v.strictObject(factors),
});

/** Text of costs, as `readCosts` takes it. */
export const costsText = (costs: Costs): string =>
  `${JSON.stringify({ schema: SCHEMA, costs }, null, 2)}\n`;

/** The costs in a file that `espalier bench --fit --out` wrote. */
export async function readCosts(path: string): Promise<Costs> {
  return parseOptions(file, await readJson(path), path).costs as Costs;
}
