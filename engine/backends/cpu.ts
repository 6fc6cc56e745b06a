// The plain JavaScript backend: the reference that the others are compared with. About 200 times slower than `wasm`.

import * as tf from '@tensorflow/tfjs-core'

import { registerComposedKernels } from '../kernels/composed.ts'
import type { OpenResult } from './backend.ts'

async function openCpu(): Promise<OpenResult> {
  const { version_cpu: version } = await import('@tensorflow/tfjs-backend-cpu')
  registerComposedKernels('cpu')
  // Without it the first tensor prints an advertisement for tfjs-node.
  tf.enableProdMode()
  await tf.setBackend('cpu')
  const description = `tfjs cpu ${version}, plain JavaScript`
  return { kind: 'open', backend: { name: 'cpu', description, readsSynchronously: true } }
}

export { openCpu }
