/** The right name for one that is nearly right. */

/** `Did you mean "magnitude"?` for the key nearest to `name`, or the list of keys. */
export function suggest(name: string, keys: readonly string[]): string {
  const most = Math.max(2, Math.floor(name.length / 3));
  // Only keys of about that length: the distance is at least the difference, and costs the product.
  const ranked = keys
    .filter((key) => Math.abs(name.length - key.length) <= most)
    .map((key) => ({ key, distance: editDistance(name.toLowerCase(), key.toLowerCase()) }))
    .sort((a, b) => a.distance - b.distance);
  const best = ranked[0];
  if (best && best.distance <= most) return `Did you mean "${best.key}"?`;
  return `Known: ${keys.join(', ')}.`;
}

/** Damerau-Levenshtein distance (adjacent swaps count one). */
function editDistance(a: string, b: string): number {
  const rows: number[][] = [];
  for (let i = 0; i <= a.length; i++) {
    const row: number[] = [];
    for (let j = 0; j <= b.length; j++) {
      if (i === 0 || j === 0) {
        row.push(i + j);
        continue;
      }
      const same = a[i - 1] === b[j - 1] ? 0 : 1;
      let best = Math.min(rows[i - 1]![j]! + 1, row[j - 1]! + 1, rows[i - 1]![j - 1]! + same);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        best = Math.min(best, rows[i - 2]![j - 2]! + 1);
      row.push(best);
    }
    rows.push(row);
  }
  return rows[a.length]![b.length]!;
}
