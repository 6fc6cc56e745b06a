import { openOnnxruntime } from './onnxruntime.ts'
import type { Runtime, RuntimeName, RuntimeOptions } from './runtime.ts'
import { openTfjs } from './tfjs.ts'

const openers = {
  'tfjs-wasm': (options) => openTfjs('wasm', options),
  'tfjs-webgpu': (options) => openTfjs('webgpu', options),
  'tfjs-tensorflow': (options) => openTfjs('tensorflow', options),
  'tfjs-cpu': (options) => openTfjs('cpu', options),
  onnxruntime: openOnnxruntime,
} satisfies Record<RuntimeName, (options: RuntimeOptions) => Promise<Runtime>>

/** Throws RuntimeUnavailableError where the runtime cannot be had with these options. */
function openRuntime(name: RuntimeName, options: RuntimeOptions = {}): Promise<Runtime> {
  return openers[name](options)
}

export { openRuntime }
