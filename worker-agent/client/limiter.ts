// At most so many things at a time; the others wait in the order that they came in.

/** Runs what it is given as soon as fewer than `most` are running. */
function createLimiter(most: number): <T>(run: () => Promise<T>) => Promise<T> {
  const waiting: (() => void)[] = []
  let running = 0
  return async (run) => {
    // A place is handed on, not given up: whoever comes meanwhile waits behind those who came before.
    if (running < most) running += 1
    else await new Promise<void>((resolve) => waiting.push(resolve))
    try {
      return await run()
    } finally {
      const next = waiting.shift()
      if (next) next()
      else running -= 1
    }
  }
}

export { createLimiter }
