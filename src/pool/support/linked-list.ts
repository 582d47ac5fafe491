/** The links of an element; with them it leaves the list without a search. */
export interface Linked<T> {
  previous: T | undefined;
  next: T | undefined;
}

/** A first-in, first-out list. `append` and `remove` take constant time. */
export class LinkedList<T extends Linked<T>> {
  head: T | undefined;
  tail: T | undefined;
  length = 0;

  append(item: T): void {
    item.previous = this.tail;
    if (this.tail) this.tail.next = item;
    else this.head = item;
    this.tail = item;
    this.length += 1;
  }

  /** `item` must be in the list. */
  remove(item: T): void {
    if (item.previous) item.previous.next = item.next;
    else this.head = item.next;
    if (item.next) item.next.previous = item.previous;
    else this.tail = item.previous;
    item.previous = undefined;
    item.next = undefined;
    this.length -= 1;
  }

  /** Iterates from the oldest element; the current element may be removed during the iteration. */
  *[Symbol.iterator](): Generator<T> {
    for (let item = this.head; item;) {
      const { next } = item;
      yield item;
      item = next;
    }
  }
}
