// What a table says about where it was measured.

import { arch, cpus, release, type as systemName } from 'node:os'
import * as tf from '@tensorflow/tfjs-core'
import type { Backend } from '../../worker-agent/backends/backends.ts'
import type { LatencyTable } from '../table.ts'

/** The table's bound on texts. */
const MAX_TEXT_LENGTH = 200

function describeMachine(backend: Backend): Pick<LatencyTable, 'device' | 'runtime'> {
  const processor = cpus()[0]?.model.replaceAll(/\s+/g, ' ').trim() || 'unknown processor'
  const onProcessor = backend.name === 'wasm' || backend.name === 'cpu'
  // Only the backend knows which accelerator it runs on.
  const device = onProcessor ? processor : `${backend.description} (${processor})`
  return {
    device: { name: device.slice(0, MAX_TEXT_LENGTH), os: `${systemName()} ${release()} ${arch()}`.slice(0, MAX_TEXT_LENGTH) },
    runtime: { name: `tfjs-${backend.name}`, version: tf.version_core, ...(onProcessor ? { threads: 1 } : {}) },
  }
}

export { describeMachine }
