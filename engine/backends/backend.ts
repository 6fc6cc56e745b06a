// What a backend is to the rest of the engine, and what the file that opens one answers.

type BackendName = 'tensorflow' | 'webgpu' | 'wasm' | 'cpu'

type Backend = {
  readonly name: BackendName
  /** For people, e.g. `tfjs wasm 4.22.0, SIMD with fused multiply-add, 1 thread`. */
  readonly description: string
  /** False where reading a tensor back without awaiting it is impossible or stalls the device. */
  readonly readsSynchronously: boolean
}

type BackendOptions = {
  /** Accept a WebGPU adapter that runs on the CPU, such as SwiftShader; default false. */
  readonly allowSoftwareAdapter?: boolean
  /** Number of the GPU, from 0, in the order of its driver; default: the driver's own choice. */
  readonly device?: number
  /** Refuse a backend that could use a GPU and has none: the processor is used better by another. Default: false. */
  readonly needsGpu?: boolean
}

type Rejection = { readonly name: BackendName; readonly reason: string }

/** What one backend's file answers: the backend, or why this machine does not have it. */
type OpenResult = { readonly kind: 'open'; readonly backend: Backend } | { readonly kind: 'unavailable'; readonly reason: string }

/** Whether it computes on the processor, in the thread that calls, before a call returns. The others drive a device, or threads of their own. */
function runsInThread({ name }: Pick<Backend, 'name'>): boolean {
  return name === 'wasm' || name === 'cpu'
}

export { type Backend, type BackendName, type BackendOptions, type OpenResult, type Rejection, runsInThread }
