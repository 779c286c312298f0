/**
 * Who owns what has been acquired while more is being acquired. Each acquisition gets its undoing before the next line can
 * throw; at the end all of it belongs to the result, or everything is undone in reverse order. As the DisposableStack of
 * ECMAScript 2026, which Node 20 does not have.
 */
export interface DisposalStack {
  /** `undo` runs when the work fails. It must not throw; one that does keeps none of the others from running. */
  defer(undo: () => void): void;
  /** The resource is closed when the work fails. */
  use<T extends { close(): void }>(resource: T): T;
}

/**
 * Runs `work`. When it throws, what it has acquired so far is undone and the error is thrown on; otherwise all of it lives on
 * in what it returns.
 */
export function acquire<T>(work: (held: DisposalStack) => T): T {
  const stack = new Stack();
  try {
    return work(stack);
  } catch (error) {
    stack.dispose();
    throw error;
  }
}

/** The same for work that waits. */
export async function acquireAsync<T>(work: (held: DisposalStack) => Promise<T>): Promise<T> {
  const stack = new Stack();
  try {
    return await work(stack);
  } catch (error) {
    stack.dispose();
    throw error;
  }
}

/** What is held for the time of `work` only: undone whether it succeeds or fails. */
export async function during<T>(work: (held: DisposalStack) => Promise<T>): Promise<T> {
  const stack = new Stack();
  try {
    return await work(stack);
  } finally {
    stack.dispose();
  }
}

/** Runs every one of `steps`, whatever any of them throws. Resolves to the first failure. */
export function runAll(steps: readonly (() => void)[]): { readonly error: unknown } | undefined {
  let failure: { readonly error: unknown } | undefined;
  for (const step of steps) {
    try {
      step();
    } catch (error) {
      failure ??= { error };
    }
  }
  return failure;
}

class Stack implements DisposalStack {
  private readonly undos: (() => void)[] = [];

  defer(undo: () => void): void {
    this.undos.push(undo);
  }

  use<T extends { close(): void }>(resource: T): T {
    this.defer(() => resource.close());
    return resource;
  }

  dispose(): void {
    runAll(this.undos.splice(0).reverse());
  }
}
