/**
 * Open nodes of a search, the least proven first (a binary heap). Its first key is the any-time lower
 * bound: nothing that is open is worse. Equal keys leave in the order they came, so a search is
 * deterministic. O(log n) each.
 */
interface Entry<T> {
  readonly key: number;
  readonly order: number;
  readonly item: T;
}

export class BestFirst<T> {
  readonly #heap: Entry<T>[] = [];
  #next = 0;

  get size(): number {
    return this.#heap.length;
  }

  /** The least key, Infinity where nothing is open. */
  get bound(): number {
    return this.#heap[0]?.key ?? Number.POSITIVE_INFINITY;
  }

  /** A key that is no number counts as -Infinity: nothing is known of the node. */
  push(key: number, item: T): void {
    const heap = this.#heap;
    const entry = {
      key: Number.isNaN(key) ? Number.NEGATIVE_INFINITY : key,
      order: this.#next++,
      item,
    };
    let at = heap.push(entry) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(entry, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = entry;
  }

  /** The `count` nodes of the least keys (fewer where there are not as many). */
  take(count: number): T[] {
    const taken: T[] = [];
    while (taken.length < count && this.#heap.length > 0) taken.push(this.#pop());
    return taken;
  }

  #pop(): T {
    const heap = this.#heap;
    const first = heap[0]!;
    const last = heap.pop()!;
    if (heap.length === 0) return first.item;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
      if (!before(heap[child]!, last)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
    return first.item;
  }
}

function before<T>(a: Entry<T>, b: Entry<T>): boolean {
  return a.key < b.key || (a.key === b.key && a.order < b.order);
}
