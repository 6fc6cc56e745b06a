// How long this thread has waited for a processor. On a machine that others use too, a run that outlasts its time slice
// is interrupted, and its duration says how busy the machine was. Linux counts the wait exactly (schedstat: time on a
// processor, time waiting for one, both in nanoseconds, and slices), so it can be taken off. What others did to the caches
// meanwhile cannot.

import { openSync, readSync } from 'node:fs'

const STATISTICS_FILE = '/proc/thread-self/schedstat'
const MAX_LENGTH = 96
const NS_PER_MS = 1e6

/** Milliseconds that the calling thread has waited so far. */
type WaitingClock = () => number

/** Null where the system does not count it. For use by the thread that calls this. */
function openWaitingClock(): WaitingClock | null {
  const buffer = Buffer.alloc(MAX_LENGTH)
  try {
    // Open as long as the process: reading it anew takes 4 µs, opening it each time several times as much.
    const file = openSync(STATISTICS_FILE, 'r')
    const read = () => Number(buffer.toString('latin1', 0, readSync(file, buffer, 0, MAX_LENGTH, 0)).split(' ', 2)[1]) / NS_PER_MS
    return Number.isFinite(read()) ? read : null
  } catch {
    return null
  }
}

export { openWaitingClock, type WaitingClock }
