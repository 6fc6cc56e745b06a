// Before any test: the SIMD kernels must be compiled, in every variant, and the measuring page built. Skips what is up to date.

import { buildProfilePage } from '../gatehouse/profile-page-build.ts'
import { allVariants, buildKernels } from '../engine/kernels/build.ts'

export default async function setup(): Promise<void> {
  await Promise.all([buildKernels(allVariants), buildProfilePage()])
}
