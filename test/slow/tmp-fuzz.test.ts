import { it } from 'vitest';
import { load } from '../../src/runtime/engine';
import { compare, story } from '../helpers/onnx-compare';
it('fuzz', async () => {
  const engine = await load({ threads: 1 });
  const counts: Record<string, number> = {};
  const why = new Map<string, number>();
  const [from, to] = [Number(process.env.FROM ?? 0), Number(process.env.TO ?? 300)];
  for (let seed = from; seed < to; seed++) {
    const r = await compare(engine, seed);
    counts[r.kind] = (counts[r.kind] ?? 0) + 1;
    if (r.kind === 'theirs' || r.kind === 'refused') { const k = r.kind + ' ' + r.why.replace(/t\d+/g, 't').replace(/\d+/g, '#').slice(0, 260); why.set(k, (why.get(k) ?? 0) + 1); }
    if (r.kind === 'different' || (r.kind === 'refused' && process.env.SHOW)) console.log(r.kind, story(r));
  }
  console.log(counts, [...why].sort((a, b) => b[1] - a[1]).slice(0, 40));
  engine.close();
}, 1e9);
