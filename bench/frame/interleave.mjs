// All contenders are measured sample by sample, in a new random order each round, so that whatever else the machine
// does, and whatever one use leaves to the other processes to tidy up, falls on all alike.

/**
 * `contenders`: { id: use } or { id: { before, use, after } }; only `use` is timed, and it gets what `before` came to, as
 * `after` gets what `use` came to. Microseconds by id.
 */
export async function interleave(contenders, { samples, warmUp }) {
  const all = Object.entries(contenders).map(([id, contender]) => ({
    id,
    use: contender.use ?? contender,
    before: contender.before,
    after: contender.after,
    micros: new Float64Array(samples),
  }));
  for (let round = -warmUp; round < samples; round++) {
    for (const { before, use, after, micros } of shuffled(all)) {
      const given = before && (await before());
      const startedAt = performance.now();
      let result = use(given);
      // A blocking client has its answer here; waiting for nothing would add a turn of the promise queue to it.
      if (result instanceof Promise) result = await result;
      const took = performance.now() - startedAt;
      if (round >= 0) micros[round] = took * 1000;
      if (after !== undefined) await after(result);
    }
  }
  return Object.fromEntries(all.map(({ id, micros }) => [id, Array.from(micros, tenths)]));
}

export function shuffled(items) {
  const order = [...items];
  for (let last = order.length - 1; last > 0; last--) {
    const other = Math.floor(Math.random() * (last + 1));
    [order[last], order[other]] = [order[other], order[last]];
  }
  return order;
}

export function tenths(value) {
  return Math.round(value * 10) / 10;
}
