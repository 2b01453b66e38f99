	.cpu cortex-m3
	.arch armv7-m
	.fpu softvfp
	.eabi_attribute 20, 1
	.eabi_attribute 21, 1
	.eabi_attribute 23, 3
	.eabi_attribute 24, 1
	.eabi_attribute 25, 1
	.eabi_attribute 26, 1
	.eabi_attribute 30, 2
	.eabi_attribute 34, 1
	.eabi_attribute 18, 4
	.file	"tile_linear_value_s8.c"
	.text
	.align	1
	.p2align 2,,3
	.global	oplib_tile_linear_value_s8
	.syntax unified
	.thumb
	.thumb_func
	.type	oplib_tile_linear_value_s8, %function
oplib_tile_linear_value_s8:
	@ args = 12, pretend = 0, frame = 96
	@ frame_needed = 0, uses_anonymous_args = 0
	mov	ip, #0
	push	{r4, r5, r6, r7, r8, r9, r10, fp, lr}
	sub	sp, sp, #108
	ldr	r4, [sp, #152]
	adds	r2, r2, #3
	ldr	r7, [r4]
	ldr	r5, [sp, #144]
	adds	r7, r7, #3
	lsrs	r2, r2, #2
	adds	r3, r3, #3
	lsrs	r7, r7, #2
	subs	r2, r2, #1
	lsrs	r3, r3, #2
	str	r3, [sp, #52]
	lsls	r3, r2, #3
	mul	r2, r7, r5
	str	r3, [sp, #48]
	ldr	r3, [r4, #12]
	ldr	r9, [r4, #8]
	add	r3, r3, r2, lsl #2
	str	r3, [sp, #44]
	ldr	r3, [r4, #16]
	mov	r6, #-2147483648
	add	fp, r3, r5, lsl #3
	lsls	r3, r7, #3
	str	r3, [sp, #64]
	lsls	r3, r7, #5
	mvn	r8, #127
	mov	r10, r9
	str	ip, [sp, #8]
	str	r7, [sp, #56]
	str	r0, [sp, #68]
	str	r1, [sp, #20]
	str	ip, [sp, #12]
	str	r3, [sp, #60]
	str	r0, [sp, #16]
	b	.L4
.L9:
	mov	r3, r9
	adds	r3, r3, #8
	ldr	r2, [sp, #12]
	str	r3, [sp, #8]
	ldr	r3, [sp, #148]
	cmp	r3, r2
	ble	.L8
.L4:
	ldr	r3, [fp, #4]
	ldr	r2, [sp, #60]
	str	r3, [sp, #4]
	ldr	r3, [fp]
	add	r0, sp, #72
	str	r3, [sp]
	ldr	r3, [sp, #16]
	mov	r1, r3
	add	r3, r3, r2
	str	r3, [sp, #16]
	ldr	r2, [sp, #44]
	ldr	r3, [sp, #56]
	bl	oplib_product_4x2
	mov	ip, #0
	ldr	r3, [sp, #12]
	ldr	r0, [sp, #52]
	ldr	r9, [sp, #8]
	mul	lr, r0, r3
	mov	r3, r6
	add	r4, r9, lr, lsl #2
	mov	lr, ip
	ldr	r1, [fp, #8]
	ldr	r7, [sp, #80]
	ldr	r0, [sp, #20]
	smlal	r3, lr, r7, r1
	add	r0, r0, r4
	add	r3, r10, lr
	str	r0, [sp, #24]
	mov	lr, ip
	mov	r0, r6
	ldr	r5, [sp, #72]
	ldr	r2, [fp, #12]
	smlal	r0, lr, r5, r1
	mov	r5, ip
	mov	r0, r6
	str	r4, [sp, #28]
	ldr	r4, [sp, #84]
	str	lr, [sp, #40]
	smlal	r0, r5, r4, r2
	mov	r4, ip
	str	r5, [sp, #32]
	mov	r5, r6
	ldr	r0, [sp, #76]
	ldr	lr, [sp, #96]
	smlal	r5, r4, r0, r2
	mov	r0, ip
	mov	r5, r6
	smlal	r5, r0, lr, r1
	mov	r5, ip
	mov	lr, r6
	ldr	r9, [sp, #88]
	cmp	r3, r8
	smlal	lr, r5, r9, r1
	mov	lr, r6
	mov	r1, r5
	mov	r5, ip
	it	lt
	movlt	r3, r8
	ldr	r9, [sp, #100]
	cmp	r3, #127
	smlal	lr, r5, r9, r2
	mov	lr, r6
	str	r5, [sp, #36]
	mov	r5, ip
	it	ge
	movge	r3, #127
	ldr	r9, [sp, #92]
	add	r4, r4, r10
	smlal	lr, r5, r9, r2
	ldr	lr, [sp, #40]
	mov	r9, r5
	ldr	r5, [sp, #32]
	add	lr, lr, r10
	add	r5, r5, r10
	cmp	lr, r8
	it	lt
	movlt	lr, r8
	cmp	r5, r8
	add	r0, r0, r10
	it	lt
	movlt	r5, r8
	mov	r7, ip
	cmp	r4, r8
	bfi	ip, r3, #0, #8
	ldr	r3, [sp, #36]
	add	r1, r10, r1
	it	lt
	movlt	r4, r8
	cmp	r0, r8
	add	r2, r10, r3
	it	lt
	movlt	r0, r8
	cmp	r1, r8
	it	lt
	movlt	r1, r8
	cmp	r2, r8
	it	lt
	movlt	r2, r8
	add	r3, r10, r9
	cmp	r3, r8
	it	lt
	movlt	r3, r8
	cmp	lr, #127
	it	ge
	movge	lr, #127
	cmp	r5, #127
	it	ge
	movge	r5, #127
	cmp	r4, #127
	it	ge
	movge	r4, #127
	cmp	r0, #127
	it	ge
	movge	r0, #127
	cmp	r1, #127
	it	ge
	movge	r1, #127
	cmp	r2, #127
	it	ge
	movge	r2, #127
	bfi	ip, r5, #8, #8
	bfi	ip, r0, #16, #8
	bfi	ip, r2, #24, #8
	mov	r2, r7
	cmp	r3, #127
	it	ge
	movge	r3, #127
	bfi	r2, lr, #0, #8
	bfi	r2, r4, #8, #8
	bfi	r2, r1, #16, #8
	ldr	r4, [sp, #28]
	ldr	r1, [sp, #20]
	bfi	r2, r3, #24, #8
	str	r2, [r1, r4]	@ unaligned
	ldr	r9, [sp, #8]
	ldr	r2, [sp, #48]
	ldr	r0, [sp, #24]
	cmp	r2, r9
	str	ip, [r0, #4]	@ unaligned
	bne	.L9
	ldr	r3, [sp, #12]
	ldr	r2, [sp, #64]
	adds	r3, r3, #2
	str	r3, [sp, #12]
	ldr	r3, [sp, #44]
	str	r7, [sp, #8]
	add	r3, r3, r2
	str	r3, [sp, #44]
	ldr	r3, [sp, #68]
	ldr	r2, [sp, #12]
	str	r3, [sp, #16]
	ldr	r3, [sp, #148]
	add	fp, fp, #16
	cmp	r3, r2
	bgt	.L4
.L8:
	add	sp, sp, #108
	@ sp needed
	pop	{r4, r5, r6, r7, r8, r9, r10, fp, pc}
	.size	oplib_tile_linear_value_s8, .-oplib_tile_linear_value_s8
	.ident	"GCC: (15:12.2.rel1-1) 12.2.1 20221205"
