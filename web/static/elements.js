/** A new element. */
export function make(tag, className = "", text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.textContent = text;
  return element;
}

/** Changes the text of an element only where it differs: screen readers read what is written anew. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Hands a file to the user. @param {Blob} content */
export function save(content, name) {
  const link = make("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  // The download has begun with the click; the copy in memory may go with the next task.
  setTimeout(() => URL.revokeObjectURL(link.href), 0);
}
