// TensorFlow.js: the backends that agents train on, with their fused operations for inference.

import * as tf from '@tensorflow/tfjs-core'
import { type Backend, type BackendName, BackendUnavailableError, openBackend } from '../../../worker-agent/backends/backends.ts'
import { createInference, type Inference } from '../../../worker-agent/executor/index.ts'
import { type Runtime, type RuntimeOptions, RuntimeUnavailableError, type Workbench, type WorkbenchOptions } from './runtime.ts'

/** Backends that compute on the processor, in one thread, before a call returns. */
function runsAtOnce({ name }: Backend): boolean {
  return name === 'wasm' || name === 'cpu'
}

function setUp({ batch, weights, images }: WorkbenchOptions): Workbench {
  const inferences: Inference[] = []
  // Networks with inputs of one shape share the images: large spaces would not fit otherwise.
  const uploaded = new Map<string, tf.Tensor4D>()
  const upload = ({ inputShape }: Inference): tf.Tensor4D => {
    const name = inputShape.join('x')
    const known = uploaded.get(name)
    if (known) return known
    const tensor = tf.tensor4d(images(inputShape), [batch, ...inputShape])
    uploaded.set(name, tensor)
    return tensor
  }
  return {
    async prepare(graph) {
      const inference = createInference({ graph, weights })
      inferences.push(inference)
      const input = upload(inference)
      let output: tf.Tensor4D | undefined
      return {
        run() {
          output?.dispose()
          output = inference.run(input)
        },
        async result() {
          if (!output) throw new Error('a network has a result once it has run')
          return (await output.data()) as Float32Array
        },
        release() {
          output?.dispose()
          output = undefined
        },
      }
    },
    async dispose() {
      for (const inference of inferences) inference.dispose()
      tf.dispose([...uploaded.values()])
    },
  }
}

/** Makes a backend the active one. Throws RuntimeUnavailableError where it cannot be opened. */
async function openTfjs(backendName: BackendName, { threads = 1, provider }: RuntimeOptions): Promise<Runtime> {
  const name = `tfjs-${backendName}` as const
  if (provider !== undefined) throw new RuntimeUnavailableError(`--provider is for onnxruntime; ${name} has none`)
  if (threads !== 1) throw new RuntimeUnavailableError(`${name} runs on one thread; onnxruntime can use more`)
  let backend: Backend
  try {
    backend = (await openBackend(backendName)).chosen
  } catch (error) {
    if (error instanceof BackendUnavailableError) {
      const reasons = error.rejected.map(({ reason }) => reason).join('; ')
      throw new RuntimeUnavailableError(`${name} is not available on this machine: ${reasons}`)
    }
    if (error instanceof Error && 'code' in error && error.code === 'kernels-missing') throw new RuntimeUnavailableError(error.message)
    throw error
  }
  const isImmediate = runsAtOnce(backend)
  return {
    name,
    description: backend.description,
    recorded: { name, version: tf.version_core, ...(isImmediate ? { threads } : {}) },
    // Only the backend knows which accelerator it runs on.
    accelerator: isImmediate ? null : backend.description,
    isQueued: !isImmediate,
    runsInCaller: isImmediate,
    measures: 'alone',
    setUp,
  }
}

export { openTfjs }
