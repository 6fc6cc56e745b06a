// A clock that stands still while something happens and then jumps to the next thing that is due. Of two that are due at the
// same time the one that was planned first comes first.

type Events = {
  nowMs(): number
  after(delayMs: number, body: () => void): void
  /** Lets the next thing happen; false where nothing is planned any more. */
  step(): boolean
}

function createEvents(startMs: number): Events {
  /** By time and then number; few are planned at a time. */
  const planned: { readonly atMs: number; readonly body: () => void }[] = []
  let nowMs = startMs
  return {
    nowMs: () => nowMs,
    after(delayMs, body) {
      if (!(delayMs >= 0)) throw new RangeError(`expected a delay of 0 or more, got ${delayMs}`)
      const atMs = nowMs + delayMs
      const before = planned.findLastIndex((event) => event.atMs <= atMs)
      planned.splice(before + 1, 0, { atMs, body })
    },
    step() {
      const next = planned.shift()
      if (!next) return false
      nowMs = next.atMs
      next.body()
      return true
    },
  }
}

export { createEvents, type Events }
