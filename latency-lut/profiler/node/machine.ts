// What a table says about where it was measured.

import { arch, cpus, release, type as systemName } from 'node:os'
import type { LatencyTable } from '../../table/table.ts'
import type { Runtime } from '../runtimes/runtime.ts'

/** The table's bound on texts. */
const MAX_TEXT_LENGTH = 200

function describeMachine({ recorded, accelerator }: Runtime): Pick<LatencyTable, 'device' | 'runtime'> {
  const processor = cpus()[0]?.model.replaceAll(/\s+/g, ' ').trim() || 'unknown processor'
  const device = accelerator === null ? processor : `${accelerator} (${processor})`
  return {
    device: { name: device.slice(0, MAX_TEXT_LENGTH), os: `${systemName()} ${release()} ${arch()}`.slice(0, MAX_TEXT_LENGTH) },
    runtime: recorded,
  }
}

export { describeMachine }
