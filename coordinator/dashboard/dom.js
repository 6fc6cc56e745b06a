// The few things that every part of the page does to elements. Text only ever enters as text, never as markup.

/**
 * The element of a selector, which must exist: the page and its scripts are one thing.
 *
 * @template {Element} [E=HTMLElement]
 * @param {string} selector
 * @param {ParentNode} [within]
 * @returns {E}
 */
export function find(selector, within = document) {
  const element = within.querySelector(selector)
  if (!element) throw new Error(`index.html has no ${selector}`)
  return /** @type {E} */ (element)
}

/**
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, string>} [attributes]
 * @param {(Node | string)[]} children
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value)
  element.append(...children)
  return element
}

/**
 * @template {keyof SVGElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, string | number>} [attributes]
 * @param {(Node | string)[]} children
 */
export function makeSvg(tag, attributes = {}, ...children) {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag)
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value))
  element.append(...children)
  return element
}

/** Leaves an unchanged text alone: selections survive, and screen readers are not told again. @param {Element} element @param {string} text */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text
}

/**
 * One child per item, made where it is missing and kept where it is not.
 *
 * @template T
 * @param {Element} parent
 * @param {readonly T[]} items
 * @param {(item: T) => string} keyOf
 * @param {() => HTMLElement} create
 * @param {(element: HTMLElement, item: T) => void} update
 */
export function keepChildren(parent, items, keyOf, create, update) {
  const existing = new Map(
    [...parent.children].map((child) => [/** @type {HTMLElement} */ (child).dataset['key'], /** @type {HTMLElement} */ (child)]),
  )
  items.forEach((item, index) => {
    const key = keyOf(item)
    const child = existing.get(key) ?? create()
    existing.delete(key)
    child.dataset['key'] = key
    update(child, item)
    if (parent.children[index] !== child) parent.insertBefore(child, parent.children[index] ?? null)
  })
  for (const left of existing.values()) left.remove()
}
