// How many cores there are, not counting a core's second thread: the SIMD kernels keep a core's arithmetic units busy,
// so two agents on one core only share them.

import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'

/** Different pairs of package and core in the text of Linux's /proc/cpuinfo; 0 where it does not say. */
function countCores(cpuinfo: string): number {
  const cores = new Set<string>()
  for (const processor of cpuinfo.split(/\n\s*\n/)) {
    const core = /^core id\s*:\s*(\d+)/m.exec(processor)?.[1]
    if (core !== undefined) cores.add(`${/^physical id\s*:\s*(\d+)/m.exec(processor)?.[1] ?? ''}/${core}`)
  }
  return cores.size
}

/** At least 1, at most what this process may run on; all processors where the system does not tell cores from threads. */
function physicalCores(): number {
  const processors = availableParallelism()
  if (process.platform !== 'linux') return processors
  try {
    return Math.min(processors, countCores(readFileSync('/proc/cpuinfo', 'utf8')) || processors)
  } catch {
    return processors
  }
}

export { countCores, physicalCores }
