// Where threads wait for each other: nobody goes on before all have come. Two cells of shared memory: how many have come,
// and how often all have.

const ARRIVED = 0
const OPENED = 1
const CELLS = 2

/** A thread that computes cannot hear that another has died; it looks this often while it waits. */
const LISTEN_EVERY_MS = 50

/** Returns when all threads have called it. */
type Meet = () => void | Promise<void>

function createBarrierMemory(): SharedArrayBuffer {
  return new SharedArrayBuffer(CELLS * Int32Array.BYTES_PER_ELEMENT)
}

/** Comes to the barrier. It is open for this thread as soon as the count of openings is not the one that is returned. */
function arrive(cells: Int32Array, threads: number): number {
  const opened = Atomics.load(cells, OPENED)
  if (Atomics.add(cells, ARRIVED, 1) === threads - 1) {
    // Set back before it opens: whoever is let through may come to it again at once.
    Atomics.store(cells, ARRIVED, 0)
    Atomics.add(cells, OPENED, 1)
    Atomics.notify(cells, OPENED)
  }
  return opened
}

/** For a thread that has nothing else to do; it ends there when it is terminated. */
function createBlockingMeet(memory: SharedArrayBuffer, threads: number): Meet {
  const cells = new Int32Array(memory)
  return () => {
    const opened = arrive(cells, threads)
    while (Atomics.load(cells, OPENED) === opened) Atomics.wait(cells, OPENED, opened)
  }
}

/** For the thread that started the others: from time to time it lets `listen` hear of one that failed, which throws then. */
function createListeningMeet(memory: SharedArrayBuffer, threads: number, listen: () => Promise<void>): Meet {
  const cells = new Int32Array(memory)
  return async () => {
    const opened = arrive(cells, threads)
    while (Atomics.load(cells, OPENED) === opened) {
      if (Atomics.wait(cells, OPENED, opened, LISTEN_EVERY_MS) === 'timed-out') await listen()
    }
  }
}

export { createBarrierMemory, createBlockingMeet, createListeningMeet, type Meet }
