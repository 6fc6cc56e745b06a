// The modules that the package needs, from its entries on, each as JavaScript in the folder that its TypeScript has here. TypeScript
// takes the types off, one file at a time; what remains to be done is that names of files end in `.js`. They are in imports, but
// also in `new URL('./thread.ts', import.meta.url)` and in lists of commands, so every string that ends in `.ts` counts: it names a
// module, which goes into the package, or the build fails.

import { existsSync, readFileSync } from 'node:fs'
import { join, posix, relative } from 'node:path'
import ts from 'typescript'

type BuiltModules = {
  /** JavaScript by path from the top folder, such as `gatehouse/main.js`. */
  readonly files: ReadonlyMap<string, string>
  /** Names of the npm packages that these import. Those under a computed name, which may be absent, are not among them. */
  readonly packages: ReadonlySet<string>
}

const compilerOptions: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2023,
  module: ts.ModuleKind.ESNext,
  verbatimModuleSyntax: true,
  isolatedModules: true,
  newLine: ts.NewLineKind.LineFeed,
}

const TYPESCRIPT = /\.ts$/
/** The name of a file amid other words, as in a message that says what to run. */
const TYPESCRIPT_AMID_WORDS = /\.ts\b/

/** The module that a string in `file` names, relative to its folder or to the top folder; null if there is no such file. */
function namedModule(root: string, file: string, text: string): string | null {
  const candidates = [posix.join(posix.dirname(file), text), ...(text.startsWith('.') ? [] : [text])]
  return candidates.find((path) => !path.startsWith('..') && existsSync(join(root, path))) ?? null
}

/** Replaces `.ts` at the end of every name of a module by `.js`, and reports the names. */
function renameModules(root: string, file: string, onModule: (path: string) => void): ts.TransformerFactory<ts.SourceFile> {
  return (context) => {
    const visit = (node: ts.Node): ts.Node => {
      if (ts.isStringLiteral(node) && TYPESCRIPT.test(node.text)) {
        const module = namedModule(root, file, node.text)
        if (module !== null) {
          onModule(module)
          return ts.setOriginalNode(context.factory.createStringLiteral(node.text.replace(TYPESCRIPT, '.js'), true), node)
        }
      }
      if (ts.isLiteralExpression(node) || ts.isTemplateHead(node) || ts.isTemplateMiddleOrTemplateTail(node)) {
        if (!ts.isRegularExpressionLiteral(node) && TYPESCRIPT_AMID_WORDS.test(node.text))
          throw new Error(`${file} names a TypeScript file that the package will not have: ${JSON.stringify(node.text)}`)
      }
      return ts.visitEachChild(node, visit, context)
    }
    return (source) => ts.visitEachChild(source, visit, context)
  }
}

/** Packages of the import and export declarations, and of `import('…')`, of a file without types. */
function importedPackages(code: string): string[] {
  return ts
    .preProcessFile(code, true, true)
    .importedFiles.map(({ fileName }) => fileName)
    .filter((name) => !name.startsWith('.') && !name.startsWith('node:'))
    .map((name) =>
      name
        .split('/')
        .slice(0, name.startsWith('@') ? 2 : 1)
        .join('/'),
    )
}

/**
 * `entries` and `excluded` are paths from `root`. Excluded modules are named by others, who can do without them. Throws an Error for a
 * string that names a TypeScript file which is not there.
 */
function buildModules(root: string, entries: readonly string[], excluded: readonly string[] = []): BuiltModules {
  const files = new Map<string, string>()
  const packages = new Set<string>()
  const seen = new Set<string>(excluded)
  const waiting = [...entries]
  for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) {
    if (seen.has(file)) continue
    seen.add(file)
    const after = [renameModules(root, file, (path) => waiting.push(path))]
    const source = readFileSync(join(root, file), 'utf8')
    const { outputText } = ts.transpileModule(source, { fileName: file, compilerOptions, transformers: { after } })
    for (const name of importedPackages(outputText)) packages.add(name)
    files.set(file.replace(TYPESCRIPT, '.js'), outputText)
  }
  return { files, packages }
}

/**
 * Declarations of `entries` and of all that they import, by path from the top folder; `configFile` is that of their rooms. Throws an
 * Error where they do not compile.
 */
function buildDeclarations(root: string, configFile: string, entries: readonly string[]): Map<string, string> {
  const outDir = join(root, 'out')
  const host: ts.ParseConfigFileHost = { ...ts.sys, onUnRecoverableConfigFileDiagnostic: fail }
  const config = ts.getParsedCommandLineOfConfigFile(
    join(root, configFile),
    { noEmit: false, declaration: true, emitDeclarationOnly: true, outDir, rootDir: root },
    host,
  )
  if (config === undefined) throw new Error(`expected ${configFile} to be a TypeScript configuration`)
  const ambient = config.fileNames.filter((name) => name.endsWith('.d.ts'))
  const program = ts.createProgram([...ambient, ...entries.map((entry) => join(root, entry))], config.options)
  const files = new Map<string, string>()
  const { diagnostics } = program.emit(undefined, (path, text) => {
    // TypeScript leaves the ending as it was written, and a reader's TypeScript would look for sources.
    const renamed = text.replace(/(from |import\()(['"])(\.[^'"]+)\.ts\2/g, '$1$2$3.js$2')
    files.set(relative(outDir, path).replaceAll('\\', '/'), renamed)
  })
  for (const diagnostic of [...config.errors, ...ts.getPreEmitDiagnostics(program), ...diagnostics]) fail(diagnostic)
  return files
}

function fail(diagnostic: ts.Diagnostic): never {
  throw new Error(`${diagnostic.file?.fileName ?? 'declarations'}: ${ts.flattenDiagnosticMessageText(diagnostic.messageText, '\n')}`)
}

export { buildDeclarations, type BuiltModules, buildModules }
