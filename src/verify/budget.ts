/**
 * Budgets of searches: seconds and nodes (parts of a problem). A search asks before each
 * batch; what is used up is an answer, `unknown`, and never an error.
 */
export interface BudgetLimits {
  readonly seconds?: number;
  readonly nodes?: number;
}

export interface Spent {
  readonly seconds: number;
  readonly nodes: number;
}

export interface StopSignal {
  readonly aborted: boolean;
}

export class Budget {
  readonly #limits: BudgetLimits;
  readonly #signal: StopSignal | undefined;
  readonly #now: () => number;
  readonly #started: number;
  #nodes = 0;

  /** `now` is a clock in milliseconds. */
  constructor(
    limits: BudgetLimits,
    { signal, now = () => performance.now() }: { signal?: StopSignal; now?: () => number } = {},
  ) {
    this.#limits = limits;
    this.#signal = signal;
    this.#now = now;
    this.#started = now();
  }

  get spent(): Spent {
    return { seconds: (this.#now() - this.#started) / 1000, nodes: this.#nodes };
  }

  /** Nodes that may still be spent; Infinity without a limit. */
  get nodesLeft(): number {
    return Math.max(0, (this.#limits.nodes ?? Number.POSITIVE_INFINITY) - this.#nodes);
  }

  get secondsLeft(): number {
    return Math.max(0, (this.#limits.seconds ?? Number.POSITIVE_INFINITY) - this.spent.seconds);
  }

  spend(nodes: number): void {
    this.#nodes += nodes;
  }

  /** True if work under way should end: at a signal, or for want of seconds. */
  get isOver(): boolean {
    return this.#signal?.aborted === true || this.secondsLeft <= 0;
  }

  /** The result of work in parts; undefined, and the work ended, as soon as the budget is over. */
  *within<T>(parts: Generator<unknown, T>): Generator<void, T | undefined> {
    try {
      for (;;) {
        const { done, value } = parts.next();
        if (done) return value;
        if (this.isOver) return undefined;
        yield;
      }
    } finally {
      parts.return(undefined as T);
    }
  }

  /** Why no more may be spent, or undefined. */
  used(): Used | undefined {
    const { seconds, nodes } = this.#limits;
    if (this.#signal?.aborted) return { what: 'signal', why: 'it was interrupted' };
    if (this.secondsLeft <= 0) return { what: 'seconds', why: `${seconds} seconds are used up` };
    if (this.nodesLeft <= 0) return { what: 'nodes', why: `${nodes} nodes are used up` };
    return undefined;
  }
}

export interface Used {
  readonly what: 'signal' | 'seconds' | 'nodes';
  readonly why: string;
}
