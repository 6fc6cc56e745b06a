// Any GPU with a Vulkan, Metal or D3D12 driver, through Dawn: the `webgpu` npm package gives Node the browser's
// interface, on which tfjs-backend-webgpu runs as it is. `webgpu` is an optional dependency.

import * as tf from '@tensorflow/tfjs-core'

import { registerComposedKernels } from '../kernels/composed.ts'
import type { BackendOptions, OpenResult } from './backend.ts'
import { chooseAdapter, listAdapters } from './webgpu-devices.ts'

/** Adapters that compute on the CPU do not always say so in `isFallbackAdapter`: they are known by name. */
const softwareAdapters = /swiftshader|llvmpipe|lavapipe|softpipe|basic render|software/i

/** Limits that tfjs-backend-webgpu's shaders make use of; the rest stays at WebGPU's defaults. */
const wantedLimits = [
  'maxComputeWorkgroupStorageSize',
  'maxComputeWorkgroupsPerDimension',
  'maxStorageBufferBindingSize',
  'maxBufferSize',
  'maxComputeWorkgroupSizeX',
  'maxComputeInvocationsPerWorkgroup',
] as const

type AdapterInfo = {
  readonly vendor?: string
  readonly architecture?: string
  readonly device?: string
  readonly description?: string
  readonly isFallbackAdapter?: boolean
}

/** The part of WebGPU that is used here; Node's types do not have it. */
type Adapter = {
  readonly info: AdapterInfo
  readonly isFallbackAdapter?: boolean
  readonly features: ReadonlySet<string>
  readonly limits: Readonly<Record<string, number>>
  requestDevice(descriptor: object): Promise<unknown>
}

type Gpu = { requestAdapter(options: object): Promise<Adapter | null> }

type AdapterResult =
  | { readonly kind: 'adapter'; readonly adapter: Adapter; readonly gpu: Gpu; readonly label: string }
  | { readonly kind: 'unavailable'; readonly reason: string }

function reasonOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error)
  return message.split('\n', 1)[0] ?? message
}

function adapterLabel({ vendor, architecture, device, description }: AdapterInfo): string {
  return [description, vendor, architecture, device].filter(Boolean).join(' ') || 'unnamed adapter'
}

/** What Dawn opens on Linux to find a driver. */
const VULKAN_LOADER = 'libvulkan.so.1'

/**
 * Whether the system finds a shared library, by the search that Dawn itself would start; Dawn prints its own failure to
 * standard error, past every setting.
 */
function canLoadLibrary(name: string): boolean {
  try {
    process.dlopen({ exports: {} }, name)
  } catch (error) {
    // A library that is no Node addon loads, and then has nothing to register.
    return error instanceof Error && /self-register/.test(error.message)
  }
  return true
}

async function findAdapter({ allowSoftwareAdapter = false, device }: BackendOptions): Promise<AdapterResult> {
  const packageName: string = 'webgpu'
  if (process.platform === 'linux' && !canLoadLibrary(VULKAN_LOADER)) {
    return { kind: 'unavailable', reason: `no Vulkan loader (${VULKAN_LOADER}), so no graphics driver can be reached` }
  }
  const dawn: { create(options: string[]): Gpu; globals: object } = await import(packageName)
  // The classes and constants that a browser has as globals, e.g. GPUBufferUsage.
  Object.assign(globalThis, dawn.globals)
  const choice = device === undefined ? ({ kind: 'options', options: [] } as const) : chooseAdapter(await listAdapters(dawn), device)
  if (choice.kind === 'unavailable') return choice
  const gpu = dawn.create([...choice.options])
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' })
  if (!adapter) return { kind: 'unavailable', reason: 'no graphics driver offers an adapter' }
  const label = adapterLabel(adapter.info)
  const isSoftware = adapter.isFallbackAdapter || adapter.info.isFallbackAdapter || softwareAdapters.test(label)
  if (isSoftware && !allowSoftwareAdapter) {
    return { kind: 'unavailable', reason: `the only adapter computes on the CPU (${label})` }
  }
  return { kind: 'adapter', adapter, gpu, label }
}

/** Label of the adapter that the process's one device was made from. */
let opened: string | undefined

async function startBackend({ adapter, gpu, label }: Extract<AdapterResult, { kind: 'adapter' }>): Promise<void> {
  // tfjs looks for navigator.gpu when its package is loaded, so this comes before the import.
  Object.defineProperty(globalThis.navigator, 'gpu', { value: gpu, configurable: true })
  const { WebGPUBackend } = await import('@tensorflow/tfjs-backend-webgpu')
  const requiredLimits: Record<string, number> = {}
  for (const name of wantedLimits) {
    const limit = adapter.limits[name]
    if (limit !== undefined) requiredLimits[name] = limit
  }
  const requiredFeatures = ['timestamp-query'].filter((feature) => adapter.features.has(feature))
  const device = await adapter.requestDevice({ requiredLimits, requiredFeatures })
  // Its own factory asks for features in a form that Dawn refuses, and shows no reason when it fails.
  tf.removeBackend('webgpu')
  const Constructor = WebGPUBackend as unknown as new (device: unknown, info: AdapterInfo) => tf.KernelBackend
  tf.registerBackend('webgpu', () => new Constructor(device, adapter.info))
  registerComposedKernels('webgpu')
  opened = label
}

async function openWebgpu(options: BackendOptions): Promise<OpenResult> {
  try {
    if (!opened) {
      const found = await findAdapter(options)
      if (found.kind === 'unavailable') return found
      await startBackend(found)
    }
    tf.enableProdMode()
    if (!(await tf.setBackend('webgpu'))) {
      return { kind: 'unavailable', reason: 'tfjs-backend-webgpu did not start' }
    }
  } catch (error) {
    return { kind: 'unavailable', reason: reasonOf(error) }
  }
  const description = `tfjs webgpu 4.22, ${opened}`
  return { kind: 'open', backend: { name: 'webgpu', description, readsSynchronously: false } }
}

export { openWebgpu }
