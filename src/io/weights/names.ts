/**
 * Names of tensors: what is the same under other separators, other words and another prefix.
 *
 * A name is a node and a local name (`layer1.0.conv1` and `weight`), split at the last dot or slash.
 * Its plain form has "-" for every separator of the node and our words for PyTorch's statistics, so
 * `layer1.0.conv1.weight` and `layer1-0-conv1.weight` are one. Every function is linear in its names.
 */

/** PyTorch's names of batch norm's statistics. */
const LOCALS: Readonly<Record<string, string>> = { running_mean: 'mean', running_var: 'variance' };

export interface Parts {
  readonly node: string;
  readonly local: string;
}

/** `features.0.running_mean` -> node `features.0`, local `running_mean`. */
export function splitName(name: string): Parts {
  const at = Math.max(name.lastIndexOf('.'), name.lastIndexOf('/'));
  return { node: name.slice(0, Math.max(0, at)), local: name.slice(at + 1) };
}

/** `features.0.running_mean` -> node `features-0`, local `mean`. */
export function plainParts(name: string): Parts {
  const { node, local } = splitName(name);
  const word = Object.hasOwn(LOCALS, local) ? LOCALS[local]! : local;
  return { node: plainNode(node), local: word };
}

export const plainNode = (node: string): string => node.replace(/[^A-Za-z0-9]+/g, '-');

export function plainName(name: string): string {
  const { node, local } = plainParts(name);
  return `${node}.${local}`;
}

/** A prefix of all plain `names` that ends with "-" and leaves each a node; the shortest first. */
export function commonPrefixes(names: readonly string[]): string[] {
  const [first = '', ...rest] = names;
  let end = first.length;
  for (const name of rest) {
    let same = 0;
    while (same < end && first[same] === name[same]) same++;
    end = same;
  }
  const found = [''];
  for (let at = first.indexOf('-'); at >= 0 && at < end; at = first.indexOf('-', at + 1))
    found.push(first.slice(0, at + 1));
  return found;
}

const MAX_PREFIXES = 16;

/** What stands before `name` where it ends one of the plain names `all`; the shortest first. */
export function prefixesOf(name: string, all: Iterable<string>): string[] {
  const found = new Set<string>();
  for (const other of all)
    if (other === name) found.add('');
    else if (other.endsWith(`-${name}`)) found.add(other.slice(0, other.length - name.length));
  return [...found].sort((a, b) => a.length - b.length).slice(0, MAX_PREFIXES);
}

/** Whether `name` fits a pattern in which `*` stands for any text; one pass over both. */
export function fitsPattern(name: string, pattern: string): boolean {
  const [first = '', ...rest] = pattern.split('*');
  if (!name.startsWith(first)) return false;
  const last = rest.pop();
  if (last === undefined) return name === pattern;
  let at = first.length;
  for (const part of rest) {
    const found = name.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return name.length - last.length >= at && name.endsWith(last);
}
