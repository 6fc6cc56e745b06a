// Before any test: the SIMD kernels must be compiled. Skips when they are up to date.

import { buildKernels } from '../worker-agent/kernels/build.ts'

export default async function setup(): Promise<void> {
  await buildKernels()
}
