// TensorFlow.js's backends in this browser: whether each is there, and how it is opened. Their code is loaded only when
// they are measured, and their WebAssembly comes from this coordinator like everything else.

import * as tf from '@tensorflow/tfjs-core'
import { type ProfileBackend, profileBackendNames } from '../../protocol/profiles.ts'

type Availability =
  | { readonly kind: 'available'; readonly backend: ProfileBackend; readonly adapter: string | undefined }
  | { readonly kind: 'missing'; readonly backend: ProfileBackend; readonly reason: string }

type OpenedBackend = {
  readonly backend: ProfileBackend
  readonly adapter: string | undefined
  /** True where a call only queues work on a device. */
  readonly queued: boolean
  readonly threads: number | undefined
  readonly version: string
}

type AdapterInfo = { readonly vendor?: string; readonly architecture?: string; readonly description?: string }
type Gpu = { requestAdapter(options?: object): Promise<{ readonly info?: AdapterInfo } | null> }

async function findWebgpu(): Promise<Availability> {
  const backend = 'webgpu'
  if (!isSecureContext) return { kind: 'missing', backend, reason: 'browsers offer WebGPU on https and localhost only' }
  const { gpu } = navigator as unknown as { gpu?: Gpu }
  const adapter = await gpu?.requestAdapter({ powerPreference: 'high-performance' }).catch(() => null)
  if (!adapter) return { kind: 'missing', backend, reason: 'this browser has no WebGPU, or none for this device' }
  const { description, vendor, architecture } = adapter.info ?? {}
  return { kind: 'available', backend, adapter: description || [vendor, architecture].filter(Boolean).join(' ') || undefined }
}

function findWebgl(): Availability {
  const backend = 'webgl'
  const context = document.createElement('canvas').getContext('webgl2')
  if (!context) return { kind: 'missing', backend, reason: 'this browser has no WebGL 2, or none for this device' }
  const info = context.getExtension('WEBGL_debug_renderer_info')
  const renderer = String(context.getParameter(info ? info.UNMASKED_RENDERER_WEBGL : context.RENDERER))
  // Browsers keep few contexts at a time, and this one was only for looking.
  context.getExtension('WEBGL_lose_context')?.loseContext()
  return { kind: 'available', backend, adapter: renderer || undefined }
}

function findWasm(): Availability {
  if (typeof WebAssembly === 'object') return { kind: 'available', backend: 'wasm', adapter: undefined }
  return { kind: 'missing', backend: 'wasm', reason: 'this browser has no WebAssembly' }
}

const finders = { webgpu: findWebgpu, webgl: findWebgl, wasm: findWasm } satisfies Record<
  ProfileBackend,
  () => Availability | Promise<Availability>
>

/** Best first. */
function findBackends(): Promise<Availability[]> {
  return Promise.all(profileBackendNames.map((name) => finders[name]()))
}

/** Makes a backend the active one. Throws where it does not start after all. */
async function openBackend({ backend, adapter }: Extract<Availability, { kind: 'available' }>): Promise<OpenedBackend> {
  tf.enableProdMode()
  let threads: number | undefined
  switch (backend) {
    case 'webgpu':
      await import('@tensorflow/tfjs-backend-webgpu')
      break
    case 'webgl':
      await import('@tensorflow/tfjs-backend-webgl')
      break
    case 'wasm': {
      const wasm = await import('@tensorflow/tfjs-backend-wasm')
      wasm.setWasmPaths(new URL('wasm/', document.baseURI).href)
      // One thread, as everywhere in this project: pages that run a network are rarely isolated, and threads need that.
      tf.env().set('WASM_HAS_MULTITHREAD_SUPPORT', false)
      threads = 1
      break
    }
    default:
      backend satisfies never
  }
  if (!(await tf.setBackend(backend))) throw new Error(`TensorFlow.js could not start ${backend} here`)
  await tf.ready()
  return { backend, adapter, queued: backend !== 'wasm', threads, version: tf.version_core }
}

export { type Availability, findBackends, openBackend, type OpenedBackend }
