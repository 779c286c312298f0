/**
 * The result of something that usually does not have to wait: itself when it is there, else a promise. `await` takes
 * both; who looks with `instanceof Promise` first spares a turn of the promise queue. Failures are thrown at once or
 * reject, so a call belongs into the `try` of whoever awaits it.
 */
export type MaybePromise<T> = T | Promise<T>;
